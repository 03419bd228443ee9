"""A whole fleet of real processes that are killed while alerts come and go (`make fleet`)."""
