"""Makes the pictures: jobs, their queue, the worker that runs them, and the models it runs."""
