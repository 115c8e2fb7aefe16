"""What every room rests on: errors, units, fields, documents and their schemas, identity, display, configuration."""
