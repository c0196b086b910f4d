"""Reading and writing the wallet's tables on a connection that someone else began."""
