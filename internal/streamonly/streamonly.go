// Package streamonly marks the context of a call of GetStream that must not fall back to reading
// pages: if the server has no RangeStream, the call returns Unimplemented. It is for callers whose
// own way of reading pages is better than that. Clients that do not know the mark ignore it.
package streamonly

import "context"

type key struct{}

// Context returns a context for calls of GetStream that are not answered by pages.
func Context(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Is reports whether Context returned ctx or one of its parents.
func Is(ctx context.Context) bool { return ctx.Value(key{}) != nil }
