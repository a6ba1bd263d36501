"""What is lost, or carried, when parts are changed."""
