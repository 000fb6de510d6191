"""A greeting, as a packaged workflow."""
