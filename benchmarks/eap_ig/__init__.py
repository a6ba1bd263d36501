"""Edge scores beside those of EAP-IG's authors, by their own code, which is not part of this project."""
