// Package streamonly marks the contexts of calls of GetStream that must not be answered by pages:
// from a server without RangeStream the call returns Unimplemented. It is for callers that read
// better pages themselves. Clients that do not know the mark ignore it.
package streamonly

import "context"

type key struct{}

// Context returns a context for calls of GetStream that are not answered by pages.
func Context(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Is reports whether Context returned ctx or one of its parents.
func Is(ctx context.Context) bool { return ctx.Value(key{}) != nil }
