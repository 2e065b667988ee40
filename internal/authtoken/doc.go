// Package authtoken holds the authentication token that a client attaches to its requests. When a
// server refuses the token, the package replaces it.
//
// Each token has a number, its generation. The client reads [Source.Generation] before it sends a
// request. If a server refuses the token, the client passes that generation to [Source.Refresh],
// which does one of three things:
//
//	the token has changed since     return; the request is tried again
//	a login is under way            wait for its answer
//	otherwise                       start a login and wait for its answer
//
// So one expiry costs one login, however many requests and streams are refused.
//
// A login runs on a goroutine of the source, with the client's context and not with the context of
// a caller. A caller whose context ends stops waiting, and the login goes on for the other callers.
// Close stops the login and waits for it.
//
// The way in which the client authenticates decides which token its requests carry. It also decides
// what happens when a server refuses a request because of its token:
//
//	authentication     token                       after a refusal
//	user and password  from Authenticate           a login replaces the token
//	static token       the configured one          [ErrStatic]: the token is never replaced
//	certificate        none                        [Source.Refresh] does nothing and returns nil
//	user and password  none, after a login has     a login, because authentication is enabled
//	                   failed with "not enabled"   again
//
// # Invariants
//
//   - At most one login is under way.
//   - The old token stays attached until the new one is there. So no request goes out without a
//     token because of a refresh.
//   - All calls that wait for a login return its error, which is then forgotten.
//   - A request reads the token with one atomic load.
package authtoken
