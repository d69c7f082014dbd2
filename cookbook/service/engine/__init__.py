"""Load models, train adapters, generate answers. Knows neither HTTP nor SQL."""
