"""Who a request acts for: tokens, and the other ways to show who one is."""
