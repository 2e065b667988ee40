// Package streamonly marks the context of a call of GetStream that must not read in pages. If the
// server has no RangeStream, a marked call returns Unimplemented, and an unmarked call reads the
// range in pages. Callers that would rather read the pages themselves use the mark.
package streamonly

import "context"

type key struct{}

// Context returns a marked copy of ctx. If the server has no RangeStream, a call of GetStream with
// the marked context returns Unimplemented and does not read the range in pages.
func Context(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Is reports whether ctx has the mark that the function [Context] sets.
func Is(ctx context.Context) bool { return ctx.Value(key{}) != nil }
