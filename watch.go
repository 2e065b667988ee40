package clientv3

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/watch"
)

// Event is one change of one key: a put or a delete (message mvccpb.Event). Several receivers may
// share one Event, so a receiver must not change it.
type Event = mvccpb.Event

// The values of Event.Type.
const (
	EventTypePut    = mvccpb.Event_PUT
	EventTypeDelete = mvccpb.Event_DELETE
)

// Watch ids of the protocol (WatchCreateRequest.watch_id, WatchResponse.watch_id). They are for
// programs that send messages of the protocol themselves; this client chooses its own ids.
const (
	// AutoWatchID in a WatchCreateRequest lets the server choose the watch id.
	AutoWatchID = 0
	// InvalidWatchID is the watch id in the response to a WatchCreateRequest that was refused, and
	// in a progress notice for all watches of a stream.
	InvalidWatchID = -1
)

// ErrNoWatchStream is returned by Watcher.RequestProgress if the Watcher has watches, but no watch
// whose context has the same outgoing metadata as the context of the call.
var ErrNoWatchStream = watch.ErrNoStream

// WatchChan delivers the responses of one watch. It is closed after the last response.
type WatchChan <-chan WatchResponse

// Watcher watches keys for changes. All methods are safe for concurrent use.
type Watcher interface {
	// Watch reports the changes of key or, with WithRange, WithPrefix or WithFromKey, the changes
	// of a range of keys. It begins with the first change after the call or, with WithRev, with the
	// changes of the given revision. No change is left out, and changes come in the order of their
	// revisions. Each revision comes once, with all its changes in one response. A watch survives
	// lost connections and changes of members: it resumes after the last change that it delivered.
	//
	// Watch blocks until a server has confirmed the watch, ctx ends, or the watcher is closed. The
	// watch misses no change that happens after Watch has returned. When ctx ends, the watch is
	// cancelled on the server and the channel is closed at once. A watch whose context never ends
	// lives until the watcher is closed. Watch panics for the same options as OpWatch.
	//
	// If a watch ends for another reason, it delivers a last response, whose Err is not nil. This
	// response comes after all earlier responses, however slowly they are read. Then the channel is
	// closed. Err is:
	//
	//   - rpctypes.ErrCompacted: the changes that the watch would have delivered next were
	//     compacted. CompactRevision is the first revision that can still be watched.
	//   - rpctypes.ErrPermissionDenied, or another error made from the server's CancelReason, for
	//     example if the range is invalid. If the server refuses to create the watch, the client
	//     first tries once more, usually with a new token if it has a user.
	//   - rpctypes.ErrNoLeader: ctx was made by WithRequireLeader, and the member that serves the
	//     watch lost its leader.
	//   - ErrNoAvailableEndpoints: the client has no connection.
	//   - a gRPC status with codes.ResourceExhausted: the request that creates the watch is over
	//     Config.MaxCallSendMsgSize, or a message of the watch is over Config.MaxCallRecvMsgSize.
	//   - context.Canceled, or the error of Config.Context: the client was closed. Close does not
	//     wait for slow consumers, so this response may be left out.
	//
	// If a server, a proxy or a load balancer ends the stream of a watch with another status, the
	// watch does not end. The stream is opened again, with growing waits.
	//
	// A consumer that does not read delays no other watch. The client keeps up to 8 MiB of events
	// or 4,096 responses for such a consumer; WithWatchBuffer changes these limits. When a limit is
	// reached, the watch pauses: the client cancels the watch on the server. When the consumer has
	// read everything that was kept, the client creates the watch again, from the next revision.
	//
	// Watches whose contexts carry the same outgoing metadata share one gRPC stream. The stream is
	// opened with the context values of the first of these watches, and closed after the last one
	// has ended.
	Watch(ctx context.Context, key string, opts ...OpOption) WatchChan

	// RequestProgress asks the server for a progress notice to all watches whose contexts carry the
	// same outgoing metadata as ctx. These watches share one stream. Each of them then receives a
	// response whose IsProgressNotify is true. The server does not answer while one of these
	// watches is still catching up with past events. If no notice comes, call RequestProgress
	// again.
	//
	// RequestProgress does not wait for the answer or for a connection. If there is no connection,
	// the request is sent when the watches have resumed. RequestProgress opens no stream. It
	// returns:
	//
	//   - the error of ctx if ctx has ended;
	//   - context.Canceled, or the error of Config.Context, if the Watcher is closed;
	//   - ErrNoWatchStream if the Watcher has watches, but none with this metadata;
	//   - nil otherwise, even if the Watcher has no watches.
	RequestProgress(ctx context.Context) error

	// Close ends all watches, closes their channels, and returns when all their goroutines have
	// ended. It always returns nil. A Client closes the Watcher that it embeds.
	Close() error
}

// WatchResponse is one response that a watch delivers on its channel.
type WatchResponse struct {
	// Header is never nil. Header.Revision is the revision of the store when the server sent the
	// response. It may be later than the revision of the last event.
	Header *pb.ResponseHeader

	// Events are the changes that the response reports, ordered by revision.
	Events []*Event

	// CompactRevision is the first revision that can still be watched, if a compaction has ended
	// the watch; otherwise it is 0.
	CompactRevision int64

	// Canceled is set in the last response of a watch. Err then says why the watch has ended.
	Canceled bool

	// Created is set in the first response of a watch with WithCreatedNotify.
	Created bool

	// CancelReason is the server's reason for ending the watch, or "" if the server gave none.
	CancelReason string

	closeErr error
}

// Err returns why the watch has ended if this is its last response, and otherwise nil.
// Watcher.Watch lists the errors. If the server has ended the watch without a reason, the error is
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

// IsProgressNotify reports whether the response is a progress notice: it holds nothing but the
// Header, and all changes up to Header.Revision have been delivered.
func (wr *WatchResponse) IsProgressNotify() bool {
	return len(wr.Events) == 0 && !wr.Canceled && !wr.Created && wr.CompactRevision == 0 &&
		wr.Header != nil && wr.Header.Revision != 0
}
