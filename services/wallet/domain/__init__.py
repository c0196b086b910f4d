"""What a wallet decides: pure functions of books, amounts and instants."""
