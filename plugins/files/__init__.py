"""Files: in a folder, on an SFTP server, in an S3-compatible store."""
