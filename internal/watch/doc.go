// Package watch keeps the Watch streams of a client's Watcher: one stream for each set of outgoing
// metadata that has watches. internal/watchmux implements the protocol on a stream, and
// internal/bidi opens a new stream when one breaks. This package chooses the token and the member
// of each stream, and checks that the stream is alive. The client passes in the functions that the
// package needs, so it knows neither connections nor loggers.
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
// A stream keeps the token that it was opened with, so a new token needs a new stream.
//
//	token    event                                       next     action
//	valid    a create is refused, the reason names the   refused  reconnect
//	         token, or the client has a newer one
//	valid    a create is refused for another reason      refused  reconnect, at most once a second
//	valid    the stream ends with an error about its     refused
//	         token
//	refused  dial, and a new token is obtained           valid    open a stream with it
//	refused  dial, and a new token is not available yet  refused  wait, dial again
//	refused  dial, and a new token is denied             valid    open a stream; the server says
//	                                                              what is wrong
//
// The limit of once a second protects the other watches of a stream from a consumer who asks again
// and again for a watch that is not permitted. Without it they would do nothing but resume.
//
// # Proof of life
//
// A gRPC stream does not fail when its member is stopped or cut off. So an idle stream is checked:
// its server is asked for progress, or asked to create a shadow for a watch that waits for a future
// revision (see internal/watchmux). Anything received is a sign of life. A timer fires once in a
// while for each stream, and each of its ticks decides whether to check the stream or to give it
// up. The first row of the table that fits says what a tick does, and when the next tick comes.
// timeout is four times the time to the last answer, but between 0.6 s and 10 s.
//
//	finds                                                   does                         next
//	a check is unanswered, and the tick is late             nothing: process was paused  timeout
//	a check is unanswered, a watch catches up, and          probe the members, wait      1 s
//	something was received less than 10 s ago
//	a check is unanswered, the server answers progress      probe the members,           1 s
//	                                                        reconnect
//	a check is unanswered, the server may not answer        probe the members            1 s
//	progress
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
// The period is 1 s until the stream's first check, and until the order of its server's notices is
// known. It is 3 s afterwards. With the shortest timeout a silent member is left within 3.6 s. The
// timeout is longer while a watch catches up, because etcd then answers no request for progress.
//
// [ProgressServers] keeps for each server's address whether the server answers requests for
// progress. All streams of a client share it:
//
//	server           event                                        next             may be asked
//	unknown          asked for progress                           pending          once
//	pending          a notice came                                answers          yes
//	pending          no notice                                    pending          no
//	pending          the stream ends within 3 s of the question   unknown          yes
//	answers                                                       answers          yes
//
// etcd's gRPC proxy logs an error for each request for progress, and its releases before 3.4.19 and
// 3.5.0 panic. So a server that has not answered its first request is not asked again. A server
// that is known to have no health service is not asked at all, because it is a proxy: members have
// a health service.
//
// # Invariants
//
//   - For each set of metadata, at most one stream takes new watches. A watch stays on one stream.
//   - This package gives a stream up only if its server is known to answer requests for progress
//     and is silent, or if the server has refused a create. For a server that never answered a
//     request for progress, only gRPC decides when the stream is broken.
//   - A tick that is more than 0.3 s late ends no stream: the answer may have arrived and wait to
//     be read.
//   - Ticks of a stream run one at a time. Close waits for all ticks and links.
//   - The mux resumes watches, so no watch loses or repeats an event because this package gives its
//     stream up.
//
// Lock order: Streams, then mux, then link. NewTarget and Tokens.Generation are the only functions
// of [Config] that are called under these locks.
package watch
