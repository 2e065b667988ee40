// Package watch keeps the Watch streams of a client's Watcher. There is one stream for each set of
// outgoing metadata that has watches. This package chooses the token and the member of each stream,
// and checks that the stream is alive. internal/watchmux implements the protocol on a stream.
// internal/bidi opens a new stream when one breaks. The client passes in functions, so this package
// does not depend on connections and loggers.
//
// # States of a stream
//
// The table shows the stream for one set of metadata. Its watches are those with this metadata. The
// link (of internal/bidi) opens the gRPC streams. The mux (of internal/watchmux) has the state of
// the watches.
//
//	state   event                               next    action
//	none    the first watch is added            open    start the link, which dials
//	open    another watch is added              open    add the watch to the mux
//	open    the gRPC stream breaks              open    avoid its member, dial again; the mux
//	                                                    resumes the watches
//	open    the server is silent, or its        open    the same as when the gRPC stream breaks
//	        endpoint is removed
//	open    the last watch leaves               ending  half-close; cancel after 50 ms
//	open    Streams.Close, or the client ends   ending  end the watches with the client's error
//	ending  a watch is added                    ending  make a new stream for the watch
//	ending  the link has ended                  none    forget the stream
//
// # The token of a stream
//
// A gRPC stream keeps the token that it was opened with. So a new token needs a new gRPC stream. In
// the table, a create is the request that starts a watch on the server.
//
//	token    event                                       next     action
//	valid    a create is refused because of the token,   refused  reconnect
//	         or while the client has a newer token
//	valid    a create is refused for another reason      refused  reconnect, at most once a second
//	valid    the stream ends with an error about its     refused
//	         token
//	refused  dial, and a new token is obtained           valid    open a stream with it
//	refused  dial, and a new token is not available yet  refused  wait, dial again
//	refused  dial, and a new token is denied             valid    open a stream; the server says
//	                                                              what is wrong
//
// A reconnect makes all watches of the stream resume. A consumer may ask again and again for a
// watch that is not permitted. So such refusals make the stream reconnect at most once a second.
// Within the second, the create is sent again on the same stream. If a create is refused twice, its
// watch ends.
//
// # Proof of life
//
// A gRPC stream does not fail when the process of its member is suspended, or when the network to
// the member is cut. So an idle stream is checked: the client sends a request for progress. Every
// response that arrives shows that the server is alive.
//
// If a watch waits for a future revision, etcd answers no such request. Then the client creates a
// shadow (a second watch on the server, see internal/watchmux). Its confirmation is the answer.
//
// Each stream has a timer. Each tick of the timer decides whether to check the stream, and whether
// to give it up. The first row that fits says what the tick does, and how long after it the next
// tick comes. A stream is idle while nothing is received. The timeout is four times the time of the
// last answer, but at least 0.6 s and at most 10 s.
//
//	finds                                                   does                         next
//	a check is unanswered, and the tick is late             nothing: process was paused  timeout
//	a check is unanswered, a watch catches up, and          probe the members, wait      1 s
//	something was received less than 10 s ago
//	a check is unanswered, the server answers progress      probe the members,           1 s
//	                                                        reconnect
//	a check is unanswered, the server is not known to       probe the members            1 s
//	answer progress
//	no watch is confirmed, creates are unanswered, nothing  probe the members,           1 s
//	was received for 1 s                                    at most once in 3 s
//	no watch is confirmed                                   nothing                      1 s
//	the server must not be asked for progress (see below),  nothing                      3 s
//	and no watch waits for a future revision
//	idle for the period or longer                           check the stream             timeout
//	a watch would resume from before the latest revision,   check the stream             timeout
//	and the last check was 10 s ago or longer
//	idle for less than the period                           nothing                      at its end
//
// The period is 1 s before the first check of the stream. It is also 1 s while the stream is tested
// for whether progress notices come in order with events. Otherwise it is 3 s. With the shortest
// timeout, a stream leaves a silent member after 3.6 s.
//
// A watch that starts in the past first receives the past events: it catches up. During that time,
// etcd answers no request for progress on its stream. So a stream with such a watch is given up
// only after 10 s without a response.
//
// [ProgressServers] remembers, for each address, whether the server there answers requests for
// progress. All streams of a client share one ProgressServers:
//
//	server   event                                         next     may be asked then
//	unknown  a request for progress is sent                pending  no
//	pending  a progress notice arrives                     answers  yes
//	pending  a stream ends within 3 s of that request      unknown  yes
//
// A server that is unknown may be asked. A server stays in the state "answers" for good.
//
// etcd's gRPC proxy logs an error for each request for progress. Its releases before 3.4.19 and
// 3.5.0 panic. So a server that has not answered its first request is not asked again. A server
// that is known to have no health service is a proxy, because members have one. It is asked only if
// it is in the state "answers".
//
// # Invariants
//
//   - For each set of metadata, at most one stream takes new watches. A watch stays on one stream.
//   - This package gives a stream up for two reasons only. Either the server is silent and is known
//     to answer requests for progress, or the server has refused a create. If the server has never
//     answered a request for progress, its silence does not end the stream.
//   - A tick that is more than 0.3 s late does not give the stream up: this process was paused, and
//     the answer may have arrived without being read yet.
//   - Ticks of a stream run one at a time. Streams.Close waits for all ticks and links.
//   - If this package gives a stream up, its watches lose and repeat no event, because the mux
//     resumes them on the next stream.
//
// Lock order: Streams, then mux, then link. NewTarget and Tokens.Generation are the only functions
// of [Config] that are called under these locks.
package watch
