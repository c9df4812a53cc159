# The page needs nothing: its accounts are in a file of their own.
