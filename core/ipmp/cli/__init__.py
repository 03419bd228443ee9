"""The command line tools: mpathd, if_mpadm, ipmpstat and ipmp."""
