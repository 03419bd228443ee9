"""The only code that speaks to Linux: netlink, packet sockets, sysctls."""
