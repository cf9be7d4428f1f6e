"""The Domain Name System, as far as a server of a few zones needs it: packets, sockets, a client.

RFC 1034, 1035, 2181 (clarifications), 2308 (negative answers), 2782 (SRV), 6891 (EDNS), 7766 (TCP), 8020.
"""
