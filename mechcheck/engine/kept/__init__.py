"""What is kept of runs, within what memory."""
