package clientv3

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
)

// These types are Member and the responses of the Cluster methods. Each is a protobuf message of
// etcd's Cluster service under a name of this package.
type (
	// Member is one member of the cluster.
	Member pb.Member
	// MemberListResponse is the answer to MemberList.
	MemberListResponse pb.MemberListResponse
	// MemberAddResponse is the answer to MemberAdd and MemberAddAsLearner.
	MemberAddResponse pb.MemberAddResponse
	// MemberRemoveResponse is the answer to MemberRemove.
	MemberRemoveResponse pb.MemberRemoveResponse
	// MemberUpdateResponse is the answer to MemberUpdate.
	MemberUpdateResponse pb.MemberUpdateResponse
	// MemberPromoteResponse is the answer to MemberPromote.
	MemberPromoteResponse pb.MemberPromoteResponse
)

// Cluster manages the members of the cluster. All methods are safe for concurrent use.
//
// Each method sends one request, and blocks until the request is answered or ctx ends. MemberAdd,
// MemberAddAsLearner, MemberRemove, MemberUpdate and MemberPromote return the list of members after
// the change.
//
// A change is sent again only if it is certain that no server applied it. If an error leaves open
// whether a change was applied, call MemberList to find out.
//
// While authentication is enabled, all methods but MemberList need a user with the role "root";
// other users get [rpctypes.ErrPermissionDenied].
type Cluster interface {
	// MemberList returns the members. A member that has not started has no name and no client URLs.
	//
	// The list is linearizable. With [WithSerializable], the member that gets the request answers
	// from its own data: this needs no quorum, but the list may be out of date. Other options have
	// no effect.
	MemberList(ctx context.Context, opts ...OpOption) (*MemberListResponse, error)

	// MemberAdd adds a voting member. The other members will reach it at the URLs peerAddrs. Start
	// its server process after MemberAdd has returned. For an invalid URL, MemberAdd returns an
	// error and sends nothing. Other errors:
	//
	//   - [rpctypes.ErrPeerURLExist]: another member has one of the URLs.
	//   - [rpctypes.ErrMemberExist]: another member has the new member's id.
	//   - [rpctypes.ErrUnhealthy]: the change would endanger the quorum.
	MemberAdd(ctx context.Context, peerAddrs []string) (*MemberAddResponse, error)

	// MemberAddAsLearner is like MemberAdd, but adds a learner: a member that has no vote until
	// MemberPromote. It also returns [rpctypes.ErrTooManyLearners] if the cluster already has as
	// many learners as it may have.
	MemberAddAsLearner(ctx context.Context, peerAddrs []string) (*MemberAddResponse, error)

	// MemberRemove removes a member, which stops serving a second later. MemberRemove returns
	// [rpctypes.ErrMemberNotFound] if there is no such member, and [rpctypes.ErrUnhealthy] if the
	// change would endanger the quorum.
	//
	// When the member stops, the writes that it is serving may fail, and it is unknown whether they
	// were applied. If the member is the leader, it also serves the writes that other members
	// forward to it. To avoid such failures, before the call:
	//
	//   - move the leadership to another member (MoveLeader);
	//   - take the member out of the endpoints of clients that write (Client.SetEndpoints);
	//   - wait until requests to the member have finished.
	MemberRemove(ctx context.Context, id uint64) (*MemberRemoveResponse, error)

	// MemberUpdate replaces the peer URLs of a member. It returns [rpctypes.ErrMemberNotFound] if
	// there is no such member, and [rpctypes.ErrPeerURLExist] if another member has one of the
	// URLs. For an invalid URL it returns an error and sends nothing.
	MemberUpdate(ctx context.Context, id uint64, peerAddrs []string) (*MemberUpdateResponse, error)

	// MemberPromote makes a learner a voting member. It returns [rpctypes.ErrMemberLearnerNotReady]
	// while the learner is too far behind the leader, [rpctypes.ErrMemberNotLearner] if the member
	// is a voting member already, and [rpctypes.ErrMemberNotFound] if there is no such member.
	MemberPromote(ctx context.Context, id uint64) (*MemberPromoteResponse, error)
}

type cluster struct{ remote pb.ClusterClient }

// NewCluster returns a Cluster that sends its requests through c. A Client made by New already
// embeds such a Cluster.
func NewCluster(c *Client) Cluster { return NewClusterFromClusterClient(RetryClusterClient(c), c) }

// NewClusterFromClusterClient returns a Cluster that sends its requests through remote, which may
// be a stub of a server in the same process. The parameter c is not used and may be nil.
func NewClusterFromClusterClient(remote pb.ClusterClient, c *Client) Cluster {
	return &cluster{remote: remote}
}

func (c *cluster) MemberList(ctx context.Context, opts ...OpOption) (*MemberListResponse, error) {
	op := OpGet("", opts...)
	resp, err := unary(ctx, c.remote.MemberList,
		&pb.MemberListRequest{Linearizable: !op.IsSerializable()})
	return (*MemberListResponse)(resp), err
}

func (c *cluster) MemberAdd(ctx context.Context, peerAddrs []string) (*MemberAddResponse, error) {
	return c.add(ctx, &pb.MemberAddRequest{PeerURLs: peerAddrs})
}

func (c *cluster) MemberAddAsLearner(
	ctx context.Context, peerAddrs []string,
) (*MemberAddResponse, error) {
	return c.add(ctx, &pb.MemberAddRequest{PeerURLs: peerAddrs, IsLearner: true})
}

func (c *cluster) add(ctx context.Context, req *pb.MemberAddRequest) (*MemberAddResponse, error) {
	if _, err := types.NewURLs(req.PeerURLs); err != nil {
		return nil, err
	}
	resp, err := unary(ctx, c.remote.MemberAdd, req)
	return (*MemberAddResponse)(resp), err
}

func (c *cluster) MemberRemove(ctx context.Context, id uint64) (*MemberRemoveResponse, error) {
	resp, err := unary(ctx, c.remote.MemberRemove, &pb.MemberRemoveRequest{ID: id})
	return (*MemberRemoveResponse)(resp), err
}

func (c *cluster) MemberUpdate(
	ctx context.Context, id uint64, peerAddrs []string,
) (*MemberUpdateResponse, error) {
	if _, err := types.NewURLs(peerAddrs); err != nil {
		return nil, err
	}
	resp, err := unary(ctx, c.remote.MemberUpdate,
		&pb.MemberUpdateRequest{ID: id, PeerURLs: peerAddrs})
	return (*MemberUpdateResponse)(resp), err
}

func (c *cluster) MemberPromote(ctx context.Context, id uint64) (*MemberPromoteResponse, error) {
	resp, err := unary(ctx, c.remote.MemberPromote, &pb.MemberPromoteRequest{ID: id})
	return (*MemberPromoteResponse)(resp), err
}
