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
	// All parts of the snapshot can share one buffer, because each part is read before the next one
	// is received.
	opts := wire.SnapshotOptions()
	if r.stream, err = m.remote.Snapshot(r.ctx, &pb.SnapshotRequest{}, opts...); err != nil {
		return nil, r.end(err)
	}
	first, err := r.stream.Recv()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // a snapshot holds at least its checksum
	}
	if err != nil {
		return nil, r.end(err)
	}
	r.rest = first.GetBlob()
	return &SnapshotResponse{Header: first.GetHeader(), Snapshot: r, Version: first.GetVersion()},
		nil
}

// snapshotReader reads a snapshot part by part from its stream, on the goroutine that calls Read.
type snapshotReader struct {
	// read-only once made
	stream pb.Maintenance_SnapshotClient
	caller context.Context
	ctx    context.Context    // context of stream; descends from caller and ends with Close
	cancel context.CancelFunc // ends ctx; may be called during a Read

	// used only by the goroutine that calls Read
	rest []byte // the unread bytes of the part received last
	err  error  // the error that ended the stream; every later Read returns it
}

// Read copies bytes of the part that was received last. If all bytes of that part were read, Read
// first receives the next part.
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
		r.end(err) // Read returns err even if rest still has unread bytes
	}
	if r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// end ends the stream and returns err, converted by toErr. Every later Read returns that error.
func (r *snapshotReader) end(err error) error {
	if !errors.Is(err, io.EOF) {
		err = toErr(r.ctx, err)
	}
	r.err, r.rest = err, nil
	r.cancel()
	return err
}

// Close ends the stream. A blocked Read and every later Read then return context.Canceled, unless
// the stream had already ended with another error.
func (r *snapshotReader) Close() error {
	r.cancel()
	return nil
}
