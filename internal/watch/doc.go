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
// and again for a watch that is not permitted. Without the limit these watches would do nothing but
// resume.
//
// # Proof of life
//
// A gRPC stream does not fail when its member is stopped or cut off. So an idle stream is checked:
// its server is asked for progress, or asked to create a shadow for a watch that waits for a future
// revision (see internal/watchmux). Anything received is a sign of life. Each stream has a timer.
// Each tick of the timer decides whether to check the stream, or to give the stream up. The first
// row of the table that fits says what the tick does, and when the next tick comes. The timeout is
// four times as long as the last answer took, but between 0.6 s and 10 s.
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
// The period is 1 s until the stream has been checked once, and until it is known whether the
// server's progress notices come in order with its events. After that it is 3 s. With the shortest
// timeout, the stream leaves a silent member within 3.6 s. While a watch catches up, etcd answers
// no request for progress, so the stream waits longer.
//
// [ProgressServers] remembers, for each address, whether the server there answers requests for
// progress. All streams of a client share one ProgressServers:
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
// that is known to have no health service is a proxy, because etcd's members have one. It is not
// asked at all.
//
// # Invariants
//
//   - For each set of metadata, at most one stream takes new watches. A watch stays on one stream.
//   - This package gives a stream up only if its server is known to answer requests for progress
//     and is silent, or if the server has refused a create. If the server has never answered a
//     request for progress, the stream ends only when gRPC says so.
//   - A tick that is more than 0.3 s late gives no stream up: the process was paused, and the
//     answer may have arrived without being read yet.
//   - Ticks of a stream run one at a time. Close waits for all ticks and links.
//   - If this package gives a stream up, its watches lose and repeat no event, because the mux
//     resumes them on the next stream.
//
// Lock order: Streams, then mux, then link. NewTarget and Tokens.Generation are the only functions
// of [Config] that are called under these locks.
package watch
