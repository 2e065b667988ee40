// Package origin marks the contexts of requests that the client makes by itself,
// so that a user's interceptors can tell them from the program's.
package origin

import "context"

type key struct{}

// Client returns a context for requests that the client makes by itself.
func Client(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// IsClient reports whether ctx is one that Client returned, or descends from one.
func IsClient(ctx context.Context) bool { return ctx.Value(key{}) != nil }
