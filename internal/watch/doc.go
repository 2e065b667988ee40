// Package watch keeps the Watch streams of a client's Watcher: one stream for each set of outgoing
// metadata that has watches. The protocol on a stream is internal/watchmux, the stream across
// reconnects is internal/bidi. This package opens streams, with a token and on a member, and proves
// that they are alive. What it needs of the client are functions; it knows neither connections nor
// loggers.
//
// # States of a stream
//
//	state   event                                   next    action
//	none    first watch with its metadata           open    start the link, which dials
//	open    a watch with the same metadata          open    the watch joins the mux
//	open    the stream breaks                       open    avoid the member, dial again; resume
//	open    it is silent, or its endpoint is gone   open    as if it had broken
//	open    the last watch leaves                   ending  half-close, cancel 50 ms later
//	open    Close, or the client ends               ending  watches end with the client's error
//	ending  a watch with the same metadata          ending  the watch opens a stream of its own
//	ending  the link has ended                      none    forget the stream
//
// # The token of a stream
//
// A stream keeps the token that it was opened with. So another token needs another stream.
//
//	token    event                                       next     action
//	valid    a create is refused, the reason names the   refused  reconnect
//	         token, or the client has a newer one
//	valid    a create is refused for another reason      refused  reconnect, at most once a second
//	valid    the stream ends with an error about its     refused
//	         token
//	refused  dial, and a new token was obtained          valid    open a stream with it
//	refused  dial, and a new token is not available yet  refused  wait, dial again
//	refused  dial, and a new token is denied             valid    open a stream; the server says
//	                                                              what is wrong
//
// The limit of once a second is for consumers who ask again and again for what they may not have:
// the other watches of their stream would do nothing but resume.
//
// # Proof of life
//
// A gRPC stream does not fail when its member is stopped or cut off. So a stream that has been idle
// is checked: its server is asked for progress, or to create a shadow for a watch that waits for a
// future revision (see internal/watchmux). Anything received is a sign of life. Ticks of a timer
// decide when a stream is checked and given up. The table lists, in order, what a tick finds and
// does, and when the next tick comes. timeout is four times what the last answer took, between 0.6
// s and 10 s.
//
//	finds                                                   does                         next
//	a check is unanswered, and the tick is late             nothing: process was paused  timeout
//	a check is unanswered, a watch catches up, and          probe the members, wait      1 s
//	something was received less than 10 s ago
//	a check is unanswered, the server answers progress      probe the members,           1 s
//	                                                        reconnect
//	a check is unanswered, it may not answer progress       probe the members            1 s
//	no watch is confirmed, creates are unanswered, nothing  probe the members,           1 s
//	was received for 1 s                                    once in 3 s
//	no watch is confirmed                                   nothing                      1 s
//	the server may not be asked, and no watch waits for a   nothing                      3 s
//	future revision
//	idle for less than the period                           nothing                      its end
//	idle for the period                                     check the stream             timeout
//	not idle, a watch would resume from long ago, and the   check the stream             timeout
//	last check was 10 s ago
//
// The period is 3 s, and 1 s until the stream's first check and until the order of its server's
// notices is known. With the shortest timeout a silent member is left within 3.6 s. A watch that
// catches up has more time: etcd answers no request for progress then.
//
// What a server has shown is kept by its address, for all streams of a client:
//
//	server           event                                        next             may be asked
//	unknown          asked for progress                           pending          once
//	pending          a notice came                                answers          yes
//	pending          no notice                                    pending          no
//	pending          the stream ends within 3 s of the question   unknown          yes
//	answers                                                       answers          yes
//
// etcd's gRPC proxy logs an error for each request for progress, and panics in its releases before
// 3.4.19 and 3.5.0. So a server that has not answered the first is not asked again. One that is
// known to have no health service is not asked at all: members have one, and proxies have none.
//
// # Invariants
//
//   - At most one stream of a set of metadata takes watches. A watch stays on one stream.
//   - This package gives a stream up only if its server is known to answer and is silent, or if it
//     has refused a create. A server that never answered a request for progress is left to gRPC.
//   - A tick that is late by more than 0.3 s ends nothing: the answer may have come, unread.
//   - Ticks of a stream run one at a time. Close waits for all ticks and links.
//   - To resume is the mux's part: no watch loses or repeats an event because its stream was given
//     up here.
//
// Lock order: Streams, then mux, then link. Of the functions of [Config], NewTarget and
// Tokens.Generation are called under these locks, and no other.
package watch
