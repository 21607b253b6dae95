"""One HTML page for functions and what a model says of them: template, styles, script, and the data that they show."""
