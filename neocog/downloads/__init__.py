"""What comes from elsewhere: mirrors, checksums, https, the Hugging Face hub."""
