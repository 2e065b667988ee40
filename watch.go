package clientv3

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/watch"
)

// Event is one change of one key: a put or a delete (message mvccpb.Event). Events are shared:
// receivers must not change them.
type Event = mvccpb.Event

// The values of Event.Type.
const (
	EventTypePut    = mvccpb.Event_PUT
	EventTypeDelete = mvccpb.Event_DELETE
)

// Watch ids of the wire protocol (WatchCreateRequest.watch_id, WatchResponse.watch_id). This client
// assigns them by itself; they are for those who speak the protocol directly.
const (
	// AutoWatchID in a create request leaves the choice to the server.
	AutoWatchID = 0
	// InvalidWatchID is that of a refused watch, and of a progress notice that speaks for all
	// watches of a stream.
	InvalidWatchID = -1
)

// ErrNoWatchStream is returned by Watcher.RequestProgress where watches are open, but none whose
// context has the same outgoing metadata.
var ErrNoWatchStream = watch.ErrNoStream

// WatchChan delivers the responses of one watch, and is closed after the last.
type WatchChan <-chan WatchResponse

// Watcher watches keys for changes. All methods are safe for concurrent use.
type Watcher interface {
	// Watch reports the changes of key, or with WithRange, WithPrefix or WithFromKey those of a
	// range: from now on, or with WithRev from that revision. The history is complete and in order.
	// Each revision comes once, and whole: the changes of one transaction are in one response. A
	// watch survives lost connections and changes of members: it resumes where it was.
	//
	// Watch blocks until a server has confirmed the watch, ctx ends, or the watcher is closed; what
	// happens after it has returned is not missed. When ctx ends, the watch is cancelled on the
	// server and the channel closed at once. A watch whose context never ends lives until the
	// watcher is closed.
	//
	// Any other end is told by one last response, for which Err is not nil, after all responses
	// that came before it, however slowly these are read. Then the channel is closed:
	//
	//   - rpctypes.ErrCompacted: the changes that would come next were compacted.
	//     CompactRevision is the first revision that can still be watched.
	//   - rpctypes.ErrPermissionDenied and other errors for what the server gives as
	//     CancelReason, such as an invalid range. A refused watch is tried once more
	//     with a new token before that, where the client has a user.
	//   - rpctypes.ErrNoLeader: with WithRequireLeader, the member lost its leader.
	//   - ErrNoAvailableEndpoints from a client without a connection.
	//   - context.Canceled, or the error of Config.Context, where the client was
	//     closed. Close does not wait for slow consumers: this one may be left out.
	//
	// A status with which a server, a proxy or a load balancer ends the stream of a watch never
	// ends the watch, unless it is one of these; the stream is opened again, with growing waits.
	//
	// A consumer that does not read does not hold up the others. For it up to 8 MiB of events or
	// 4,096 responses are kept (WithWatchBuffer); then the watch pauses on the server, and resumes
	// once all of these have been read.
	//
	// Watches whose contexts carry the same outgoing metadata share one gRPC stream, which is
	// opened with the values of the first of these contexts and closed after the last watch. Watch
	// panics where OpWatch does.
	Watch(ctx context.Context, key string, opts ...OpOption) WatchChan

	// RequestProgress asks the server to tell all watches that share the stream of ctx, by their
	// outgoing metadata, how far they are: each then receives a response for which IsProgressNotify
	// is true. The server does not answer while one of them lags behind, so ask again after a
	// while.
	//
	// It does not wait for the answer, nor for a connection; without one, the server is asked when
	// the watches have resumed. It opens no stream: where the Watcher has watches, but none with
	// such metadata, it returns ErrNoWatchStream, and where it has none at all there is no stream
	// to ask, which is no error. It returns the error of ctx if that has ended.
	RequestProgress(ctx context.Context) error

	// Close ends all watches, closes their channels, and returns when nothing of them is left
	// running. The result is always nil. A watcher that belongs to a Client is closed by that.
	Close() error
}

// WatchResponse is one message of a watch.
type WatchResponse struct {
	// Header is never nil. Its Revision is that of the store when the server sent the response,
	// which may be later than that of the events.
	Header *pb.ResponseHeader

	// Events are the changes, ordered by revision.
	Events []*Event

	// CompactRevision is the first revision that can still be watched, where the watch has ended
	// because of a compaction, and otherwise 0.
	CompactRevision int64

	// Canceled is set in the last response, which tells why the watch has ended.
	Canceled bool

	// Created is set in the first response of a watch with WithCreatedNotify.
	Created bool

	// CancelReason is what the server gave as reason for ending the watch.
	CancelReason string

	closeErr error
}

// Err returns why the watch has ended, for its last response, and nil for any other. See
// Watcher.Watch for the errors. A watch that the server has ended without giving a reason ends with
// rpctypes.ErrFutureRev.
func (wr *WatchResponse) Err() error {
	switch {
	case wr.closeErr != nil:
		return wr.closeErr
	case wr.CompactRevision != 0:
		return rpctypes.ErrCompacted
	case !wr.Canceled:
		return nil
	case wr.CancelReason == "":
		return rpctypes.ErrFutureRev
	}
	return classify.CancelReason(wr.CancelReason)
}

// IsProgressNotify reports whether the response says nothing but how far the watch is: all changes
// up to Header.Revision have been delivered.
func (wr *WatchResponse) IsProgressNotify() bool {
	return len(wr.Events) == 0 && !wr.Canceled && !wr.Created && wr.CompactRevision == 0 &&
		wr.Header != nil && wr.Header.Revision != 0
}
