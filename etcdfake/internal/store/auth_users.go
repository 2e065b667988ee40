package store

import (
	"bytes"
	"maps"
	"slices"
	"sort"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
)

func (s *Store) callUserAdd(c Caller, req *pb.AuthUserAddRequest) (*pb.AuthUserAddResponse, error) {
	noPassword := req.Options.GetNoPassword()
	if !noPassword {
		if err := checkPassword(req.Password); err != nil {
			return nil, err
		}
	}
	if err := s.proposeAdmin(c); err != nil {
		return nil, err
	}
	switch {
	case req.Name == "":
		return nil, rpctypes.ErrGRPCUserEmpty
	case s.auth.users[req.Name] != nil:
		return nil, rpctypes.ErrGRPCUserAlreadyExist
	}
	s.auth.users[req.Name] = &user{password: req.Password, canLogin: !noPassword,
		noPassword: noPassword}
	s.auth.revision++
	return &pb.AuthUserAddResponse{Header: s.header(c)}, nil
}

func (s *Store) callUserGet(c Caller, req *pb.AuthUserGetRequest) (*pb.AuthUserGetResponse, error) {
	who, err := s.propose(c, &pb.InternalRaftRequest{})
	if err != nil {
		return nil, err
	}
	if err := s.auth.isAdmin(who); err != nil && (who == nil || req.Name != who.name) &&
		(who != nil || req.Name != "") {
		return nil, err
	}
	u, err := s.auth.user(req.Name)
	if err != nil {
		return nil, err
	}
	return &pb.AuthUserGetResponse{Header: s.header(c), Roles: slices.Clone(u.roles)}, nil
}

func (s *Store) callUserList(
	c Caller, _ *pb.AuthUserListRequest,
) (*pb.AuthUserListResponse, error) {
	if err := s.proposeAdmin(c); err != nil {
		return nil, err
	}
	return &pb.AuthUserListResponse{Header: s.header(c),
		Users: slices.Sorted(maps.Keys(s.auth.users))}, nil
}

func (s *Store) callUserDelete(
	c Caller, req *pb.AuthUserDeleteRequest,
) (*pb.AuthUserDeleteResponse, error) {
	if err := s.proposeAdmin(c); err != nil {
		return nil, err
	}
	if s.auth.enabled && req.Name == root {
		return nil, rpctypes.ErrGRPCInvalidAuthMgmt
	}
	if _, err := s.auth.user(req.Name); err != nil {
		return nil, err
	}
	delete(s.auth.users, req.Name)
	s.auth.revision++
	s.auth.dropTokensOf(req.Name)
	return &pb.AuthUserDeleteResponse{Header: s.header(c)}, nil
}

// callUserChangePassword changes a user's password. If the new password is empty, the user cannot
// log in.
func (s *Store) callUserChangePassword(
	c Caller, req *pb.AuthUserChangePasswordRequest,
) (*pb.AuthUserChangePasswordResponse, error) {
	if err := checkPassword(req.Password); err != nil {
		return nil, err
	}
	if err := s.proposeAdmin(c); err != nil {
		return nil, err
	}
	u, err := s.auth.user(req.Name)
	if err != nil {
		return nil, err
	}
	u.password, u.canLogin = req.Password, req.Password != ""
	s.auth.revision++
	s.auth.dropTokensOf(req.Name)
	return &pb.AuthUserChangePasswordResponse{Header: s.header(c)}, nil
}

func (s *Store) callUserGrantRole(
	c Caller, req *pb.AuthUserGrantRoleRequest,
) (*pb.AuthUserGrantRoleResponse, error) {
	if err := s.proposeAdmin(c); err != nil {
		return nil, err
	}
	u, err := s.auth.user(req.User)
	if err != nil {
		return nil, err
	}
	if req.Role != root {
		if _, err := s.auth.role(req.Role); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(u.roles, req.Role) {
		u.roles = append(slices.Clone(u.roles), req.Role)
		slices.Sort(u.roles)
		s.auth.revision++
	}
	return &pb.AuthUserGrantRoleResponse{Header: s.header(c)}, nil
}

func (s *Store) callUserRevokeRole(
	c Caller, req *pb.AuthUserRevokeRoleRequest,
) (*pb.AuthUserRevokeRoleResponse, error) {
	if err := s.proposeAdmin(c); err != nil {
		return nil, err
	}
	if s.auth.enabled && req.Name == root && req.Role == root {
		return nil, rpctypes.ErrGRPCInvalidAuthMgmt
	}
	u, err := s.auth.user(req.Name)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(u.roles, req.Role) {
		return nil, rpctypes.ErrGRPCRoleNotGranted
	}
	u.dropRole(req.Role)
	s.auth.revision++
	return &pb.AuthUserRevokeRoleResponse{Header: s.header(c)}, nil
}

func (u *user) dropRole(name string) {
	u.roles = slices.DeleteFunc(slices.Clone(u.roles), func(r string) bool { return r == name })
}

func (s *Store) callRoleAdd(c Caller, req *pb.AuthRoleAddRequest) (*pb.AuthRoleAddResponse, error) {
	if err := s.proposeAdmin(c); err != nil {
		return nil, err
	}
	switch {
	case req.Name == "":
		return nil, rpctypes.ErrGRPCRoleEmpty
	case s.auth.roles[req.Name] != nil:
		return nil, rpctypes.ErrGRPCRoleAlreadyExist
	}
	s.auth.roles[req.Name] = &authpb.Role{Name: []byte(req.Name)}
	s.auth.revision++
	return &pb.AuthRoleAddResponse{Header: s.header(c)}, nil
}

func (s *Store) callRoleGet(c Caller, req *pb.AuthRoleGetRequest) (*pb.AuthRoleGetResponse, error) {
	who, err := s.propose(c, &pb.InternalRaftRequest{})
	if err != nil {
		return nil, err
	}
	if err := s.auth.isAdmin(who); err != nil && !s.auth.hasRole(who, req.Role) {
		return nil, err
	}
	r, err := s.auth.role(req.Role)
	if err != nil {
		return nil, err
	}
	resp := &pb.AuthRoleGetResponse{Header: s.header(c)}
	if req.Role == root {
		resp.Perm = []*authpb.Permission{{PermType: authpb.Permission_READWRITE, Key: []byte{},
			RangeEnd: []byte{0}}}
		return resp, nil
	}
	for _, p := range r.KeyPermission {
		resp.Perm = append(resp.Perm, proto.Clone(p).(*authpb.Permission))
	}
	return resp, nil
}

func (a *authTable) hasRole(who *identity, role string) bool {
	if who == nil || a.users[who.name] == nil {
		return false
	}
	return slices.Contains(a.users[who.name].roles, role)
}

func (s *Store) callRoleList(
	c Caller, _ *pb.AuthRoleListRequest,
) (*pb.AuthRoleListResponse, error) {
	if err := s.proposeAdmin(c); err != nil {
		return nil, err
	}
	return &pb.AuthRoleListResponse{Header: s.header(c),
		Roles: slices.Sorted(maps.Keys(s.auth.roles))}, nil
}

func (s *Store) callRoleDelete(
	c Caller, req *pb.AuthRoleDeleteRequest,
) (*pb.AuthRoleDeleteResponse, error) {
	if err := s.proposeAdmin(c); err != nil {
		return nil, err
	}
	if s.auth.enabled && req.Role == root {
		return nil, rpctypes.ErrGRPCInvalidAuthMgmt
	}
	if _, err := s.auth.role(req.Role); err != nil {
		return nil, err
	}
	delete(s.auth.roles, req.Role)
	for _, u := range s.auth.users {
		u.dropRole(req.Role)
	}
	s.auth.revision++
	return &pb.AuthRoleDeleteResponse{Header: s.header(c)}, nil
}

func (s *Store) callRoleGrantPermission(
	c Caller, req *pb.AuthRoleGrantPermissionRequest,
) (*pb.AuthRoleGrantPermissionResponse, error) {
	if err := s.proposeAdmin(c); err != nil {
		return nil, err
	}
	switch {
	case req.Perm == nil:
		return nil, rpctypes.ErrGRPCPermissionNotGiven
	case !validPermission(req.Perm):
		return nil, rpctypes.ErrGRPCInvalidAuthMgmt
	}
	r, err := s.auth.role(req.Name)
	if err != nil {
		return nil, err
	}
	perms := slices.Clone(r.KeyPermission)
	i := sort.Search(len(perms), func(i int) bool {
		return bytes.Compare(perms[i].Key, req.Perm.Key) >= 0
	})
	granted := proto.Clone(req.Perm).(*authpb.Permission)
	// As in etcd, only the first permission with the key can be replaced. Its range end must be
	// equal, too. Otherwise the new permission is added, even if a later permission has both the
	// key and the range end.
	if i < len(perms) && samePermission(perms[i], req.Perm.Key, req.Perm.RangeEnd) {
		perms[i] = granted
	} else {
		perms = append(perms, granted)
		sort.Sort(byKey(perms))
	}
	r.KeyPermission = perms
	s.auth.revision++
	return &pb.AuthRoleGrantPermissionResponse{Header: s.header(c)}, nil
}

// byKey sorts permissions by key with sort.Sort, as etcd does. With another algorithm, permissions
// with equal keys could be in another order than in etcd.
type byKey []*authpb.Permission

func (p byKey) Len() int           { return len(p) }
func (p byKey) Less(i, j int) bool { return bytes.Compare(p[i].Key, p[j].Key) < 0 }
func (p byKey) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }

func samePermission(p *authpb.Permission, key, end []byte) bool {
	return bytes.Equal(p.Key, key) && bytes.Equal(p.RangeEnd, end)
}

func (s *Store) callRoleRevokePermission(
	c Caller, req *pb.AuthRoleRevokePermissionRequest,
) (*pb.AuthRoleRevokePermissionResponse, error) {
	if err := s.proposeAdmin(c); err != nil {
		return nil, err
	}
	r, err := s.auth.role(req.Role)
	if err != nil {
		return nil, err
	}
	left := slices.DeleteFunc(slices.Clone(r.KeyPermission), func(p *authpb.Permission) bool {
		return samePermission(p, req.Key, req.RangeEnd)
	})
	if len(left) == len(r.KeyPermission) {
		return nil, rpctypes.ErrGRPCPermissionNotGranted
	}
	r.KeyPermission = left
	s.auth.revision++
	return &pb.AuthRoleRevokePermissionResponse{Header: s.header(c)}, nil
}
