"""What a call costs and who has paid: integer nano-USD throughout, prices in integer pico-USD; see money.md."""
