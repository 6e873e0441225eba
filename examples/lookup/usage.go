package main

const usage = `usage: lookup [flags] DOMAIN...
       lookup cached -db FILE [DOMAIN...]
       lookup forget -db FILE DOMAIN...
       lookup check FILE
       lookup warm -db FILE [-dns ...] [-roots ...] [-allow ...] LIST
       lookup serve [-listen ADDR] [-host NAMES] [-proxy NETS] [-probe]
              [-helo ...] [-dns ...] [-roots ...] [-allow ...] [-demo]
       lookup -demo

Lookup says what a mail server that sends under MTA-STS (RFC 8461) does with
mail for a domain, and why: the verdict, then what is to be mended, worst
first, then each step on the way. For several domains it prints a table. The
domain "-" stands for a list on standard input, one domain a line.

  -json         print one JSON object for each domain, each on a line of its own
  -html FILE    write a page to FILE as well, which needs nothing besides
  -probe        open a session with each MX host on port 25, as far as STARTTLS;
                no mail is sent
  -helo NAME    the name for EHLO in these sessions
  -db FILE      compare with what the cache of a sender has
  -dns ADDR     ask the DNS resolver at this address:port, not the system's
  -roots FILE   trust the CAs in this PEM file besides those of the system
  -allow NETS   connect to addresses in these networks too, though they are not
                public, such as 10.0.0.0/8,fd00::/8
  -demo         show a good, a broken and an attacked domain, without network
  -h            print this

The other commands work on the cache of a sender, a file that no program has
open:

  cached        print a table of what is cached, or the policies of some domains
  forget        remove the policies of domains; until the next message finds
                them again, their mail is without protection
  check         read every record, and count those that are valid or damaged
  warm          find the policies of the domains in LIST, a file with one domain
                a line, or "-"; # begins a comment. It may be interrupted, and
                goes on where it was

Lookup serve shows the same to browsers, at / with a form, and as JSON at
/api/v1/lookup?domain=DOMAIN. It limits what each client may ask.

  -listen ADDR  the address:port to listen on, 127.0.0.1:8460 if not given
  -host NAMES   answer under these names too, such as lookup.example.com;
                otherwise only under localhost and addresses
  -proxy NETS   requests from these networks come from a proxy of yours: their
                header field X-Forwarded-For has the client
Without -probe it opens no session with an MX host, whoever asks.

The exit status is 0 if all is fine, 1 if there is something to mend, 2 if
something could not be found out or done, 64 if the command line is wrong.

Example:

    $ lookup -probe example.com
    example.com: Mail is held back
    The policy of example.com is enforced, and no MX host satisfies it.

    error: The policy does not list the MX host mx2.example.com
      No mx line matches mx2.example.com. The policy lists mx.example.com.
      effect Senders deliver nothing to mx2.example.com. They try the other MX
             hosts, and hold the message if none of them will do.
      mend   If mx2.example.com is not yours or your provider's, somebody forges
             the DNS of example.com to get its mail: leave the policy as it is,
             and check your name servers and your account at the registrar. If
             it is yours, add the line mx: mx2.example.com to the policy file,
             and then change the id of the record. If it is no longer in use,
             remove its MX record.
             mx: mx2.example.com
      clause RFC 8461, Section 4.1 (mx-not-listed)
    ...
    $ echo $?
    1
`
