"""Routes: the steps that every request goes through, and the document made from the routes."""
