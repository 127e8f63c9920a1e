"""What a case is, and the changes that formats share."""
