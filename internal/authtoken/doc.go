// Package authtoken holds the authentication token that a client attaches to its requests, and
// replaces it when a server refuses it.
//
// A token has a generation, which changes with the token. A request notes the generation before it
// is sent. If a server refuses its token, the request hands that generation to [Source.Refresh]:
//
//	the token has changed since     return; the request is tried again
//	a login is under way            wait for its answer
//	otherwise                       start a login and wait for its answer
//
// So one expiry costs one login, however many requests and streams are refused.
//
// The login belongs to the client. It runs on a goroutine of the source with the client's context,
// and Close stops it and waits for it. If the first caller ran the login, the end of that caller's
// context would fail all other callers. A caller whose context ends stops waiting, and the login
// goes on.
//
// What happens to a refused token depends on how the client authenticates:
//
//	client             token                          refused for its token
//	user and password  from New on                    replaced
//	static token       the user's                     never replaced: [ErrStatic]
//	certificate        none                           tried again if the auth store has changed
//	any, auth is off   dropped on ErrAuthNotEnabled   a login follows when auth is on again
//
// # Invariants
//
//   - At most one login is under way.
//   - The old token stays attached until the new one is there: no request goes out without a token
//     because of a refresh.
//   - All calls that wait for a login return its error, which is then forgotten.
//   - A request reads the token with one atomic load.
package authtoken
