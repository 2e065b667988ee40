package clientv3

import (
	"cmp"
	"context"
	"errors"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/client/v3/internal/wire"
)

func (m *maintenance) Snapshot(ctx context.Context) (io.ReadCloser, error) {
	resp, err := m.SnapshotWithVersion(ctx)
	if err != nil {
		return nil, err
	}
	return resp.Snapshot, nil
}

func (m *maintenance) SnapshotWithVersion(ctx context.Context) (*SnapshotResponse, error) {
	r := &snapshotReader{caller: ctx}
	r.ctx, r.cancel = context.WithCancel(ctx)
	var err error
	opts := wire.SnapshotOptions() // each part is used up before the next is received
	if r.stream, err = m.remote.Snapshot(r.ctx, &pb.SnapshotRequest{}, opts...); err != nil {
		return nil, r.end(err)
	}
	first, err := r.stream.Recv()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // not even a checksum
	}
	if err != nil {
		return nil, r.end(err)
	}
	r.rest = first.GetBlob()
	return &SnapshotResponse{Header: first.GetHeader(), Snapshot: r, Version: first.GetVersion()},
		nil
}

// snapshotReader reads the parts of a snapshot from their stream, on the goroutine that calls Read.
type snapshotReader struct {
	// Read-only once made.
	stream pb.Maintenance_SnapshotClient
	caller context.Context
	ctx    context.Context    // of the stream; ends with Close, and soon after the caller's
	cancel context.CancelFunc // may be called during a Read

	// Of the reading goroutine.
	rest []byte // of the part received last
	err  error  // that ended the stream; returned from then on
}

// Read returns what is left of the current part, or receives the next.
func (r *snapshotReader) Read(p []byte) (int, error) {
	for r.err == nil && len(r.rest) == 0 && len(p) > 0 {
		part, err := r.stream.Recv()
		if err != nil {
			r.end(err)
			break
		}
		r.rest = part.GetBlob()
	}
	if err := cmp.Or(r.caller.Err(), r.ctx.Err()); err != nil && r.err == nil {
		r.end(err) // also where parts that arrived before are left
	}
	if r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// end notes the first error, converted, and frees the stream.
func (r *snapshotReader) end(err error) error {
	if !errors.Is(err, io.EOF) {
		err = toErr(r.ctx, err)
	}
	r.err, r.rest = err, nil
	r.cancel()
	return err
}

// Close ends the stream. A Read that waits, or comes later without having seen the end, returns
// context.Canceled.
func (r *snapshotReader) Close() error {
	r.cancel()
	return nil
}
