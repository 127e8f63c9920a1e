"""Draw, train and judge `shapes`, the small Kandinsky 2.2 that is part of the package."""
