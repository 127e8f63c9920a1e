"""KandiSuperRes: pictures twice and four times as large."""
