"""One file for each row that ``make bench`` prints."""
