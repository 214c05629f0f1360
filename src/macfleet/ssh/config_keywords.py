"""What macfleet does with each keyword of ssh_config: follows, says, refuses, or passes over.

Names and defaults: ssh_config(5) of OpenSSH 9.2 to 10.0.
"""

from __future__ import annotations

FOLLOWED = frozenset(
    {
        "addressfamily",
        "bindaddress",
        "casignaturealgorithms",
        "certificatefile",
        "ciphers",
        "connecttimeout",
        "globalknownhostsfile",
        "hostkeyalgorithms",
        "hostkeyalias",
        "hostname",
        "identitiesonly",
        "identityagent",
        "identityfile",
        "ignoreunknown",
        "kexalgorithms",
        "macs",
        "port",
        "proxycommand",
        "proxyjump",
        "pubkeyacceptedalgorithms",
        "requiredrsasize",
        "serveralivecountmax",
        "serveraliveinterval",
        "tag",
        "user",
        "userknownhostsfile",
    }
)
"""Keywords whose values decide how macfleet connects."""

STEPS = frozenset({"host", "match", "include"})
"""Keywords that decide which lines count."""

ALIASES = {
    "dsaauthentication": "pubkeyauthentication",
    "identityfile2": "identityfile",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "smartcarddevice": "pkcs11provider",
}
"""Older names, and what they are called today: the first line counts, whichever name it has."""

REFUSED: dict[str, tuple[frozenset[str], str]] = {
    "bindinterface": (frozenset(), "macfleet goes out by the address it is told; write it as BindAddress"),
    "canonicalizehostname": (
        frozenset({"no", "false", "none"}),
        "names would lead elsewhere than macfleet goes; write the full name as HostName",
    ),
    "proxyusefdpass": (
        frozenset({"no", "false"}),
        "a ProxyCommand that hands over a socket is not supported; use one that copies bytes, or ProxyJump",
    ),
    "pubkeyauthentication": (
        frozenset({"yes", "true", "unbound", "host-bound"}),
        "macfleet logs in with keys only",
    ),
    "refuseconnection": (frozenset(), "this is what it asks for"),
    "remotecommand": (frozenset({"none"}), "macfleet runs commands of its own; give the node another Host"),
    "revokedhostkeys": (
        frozenset({"none"}),
        "macfleet reads no such list, which must not be passed over; write @revoked lines into known_hosts",
    ),
}
"""Keyword to the values that may stand there, and why no other is followed: the route is refused."""

SAID: dict[str, tuple[frozenset[str], str]] = {
    "knownhostscommand": (frozenset({"none"}), "host keys come from known_hosts files and pins only"),
    "nohostauthenticationforlocalhost": (
        frozenset({"no", "false"}),
        "macfleet checks every host key, that of localhost too",
    ),
    "pkcs11provider": (frozenset({"none"}), "load keys of a token into the agent"),
    "securitykeyprovider": (frozenset({"internal", "none"}), "load keys of a token into the agent"),
    "stricthostkeychecking": (
        frozenset({"yes", "true", "ask"}),
        "macfleet takes no host key unasked: `macfleet enrol` learns it and shows its fingerprint",
    ),
    "verifyhostkeydns": (frozenset({"no", "false"}), "host keys come from known_hosts files and pins only"),
}
"""Keyword to the values that agree with what macfleet does anyway, and what it does; others are said."""

PASSED_OVER = frozenset(
    # Words of one text: a list with a line each would be longer than all that reads it.
    """
    addkeystoagent afstokenpassing batchmode canonicaldomains canonicalizefallbacklocal
    canonicalizemaxdots canonicalizepermittedcnames challengeresponseauthentication channeltimeout
    checkhostip cipher clearallforwardings compression compressionlevel connectionattempts
    controlmaster controlpath controlpersist dynamicforward enableescapecommandline enablesshkeysign
    escapechar exitonforwardfailure fallbacktorsh fingerprinthash forkafterauthentication
    forwardagent forwardx11 forwardx11timeout forwardx11trusted gatewayports globalknownhostsfile2
    gssapiauthentication gssapiclientidentity gssapidelegatecredentials gssapikexalgorithms
    gssapikeyexchange gssapirenewalforcesrekey gssapiserveridentity gssapitrustdns hashknownhosts
    hostbasedacceptedalgorithms hostbasedauthentication hostbasedkeytypes ipqos
    kbdinteractiveauthentication kbdinteractivedevices kerberosauthentication kerberostgtpassing
    localcommand localforward loglevel logverbose numberofpasswordprompts obscurekeystroketiming
    passwordauthentication permitlocalcommand permitremoteopen preferredauthentications protocol
    rekeylimit remoteforward requesttty rhostsauthentication rhostsrsaauthentication
    rsaauthentication sendenv sessiontype setenv skeyauthentication stdinnull
    streamlocalbindmask streamlocalbindunlink syslogfacility tcpkeepalive tisauthentication tunnel
    tunneldevice updatehostkeys usekeychain useprivilegedport userknownhostsfile2 useroaming usersh
    versionaddendum visualhostkey warnweakcrypto xauthlocation
    """.split()  # noqa: SIM905
)
"""Keywords about terminals, forwarding, other kinds of login and looks, and those ssh itself passes over."""

KNOWN = FOLLOWED | STEPS | frozenset(ALIASES) | frozenset(REFUSED) | frozenset(SAID) | PASSED_OVER
