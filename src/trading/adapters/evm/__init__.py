"""One EVM chain (Base) through web3.py, which takes a second to import: nothing here is imported before it is used."""
