"""The panel drawn: growth by country, and a map in the browser."""
