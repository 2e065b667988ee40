// Package origin marks the contexts of requests that the client makes by itself, so that a user's
// interceptors can tell these requests from those of the program.
package origin

import "context"

type key struct{}

// Client returns a copy of ctx with a mark, for requests that the client makes by itself.
func Client(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// IsClient reports whether ctx has the mark that the function [Client] sets.
func IsClient(ctx context.Context) bool { return ctx.Value(key{}) != nil }
