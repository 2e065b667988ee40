// Package streamonly marks the context of a call of GetStream. If the server has no RangeStream, a
// marked call returns Unimplemented, while an unmarked call reads the range in pages. The mark is
// for callers that would rather read the pages themselves.
package streamonly

import "context"

type key struct{}

// Context returns a marked copy of ctx. If the server has no RangeStream, a call of GetStream with
// the marked context returns Unimplemented and does not read the range in pages.
func Context(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Is reports whether ctx has the mark that the function [Context] sets.
func Is(ctx context.Context) bool { return ctx.Value(key{}) != nil }
