// Package kubernetes offers the part of a client that Kubernetes needs: reads of single
// keys and of prefixes, and writes that are guarded by the revision of the key.
package kubernetes
