"""What runs read and what they made: datasets and logged models that went in, logged models that came out."""
