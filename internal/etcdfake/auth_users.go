package etcdfake

import (
	"bytes"
	"slices"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

func (st *state) userAddLocked(
	hdr *pb.ResponseHeader, req *pb.AuthUserAddRequest,
) (*pb.AuthUserAddResponse, error) {
	switch {
	case req.Name == "":
		return nil, rpctypes.ErrGRPCUserEmpty
	case st.auth.users[req.Name] != nil:
		return nil, rpctypes.ErrGRPCUserAlreadyExist
	}
	st.auth.users[req.Name] = &authUser{password: req.Password}
	st.auth.revision++
	return &pb.AuthUserAddResponse{Header: hdr}, nil
}

func (st *state) userGetLocked(
	hdr *pb.ResponseHeader, req *pb.AuthUserGetRequest,
) (*pb.AuthUserGetResponse, error) {
	u, err := st.auth.user(req.Name)
	if err != nil {
		return nil, err
	}
	return &pb.AuthUserGetResponse{Header: hdr, Roles: slices.Clone(u.roles)}, nil
}

func (st *state) userListLocked(
	hdr *pb.ResponseHeader, _ *pb.AuthUserListRequest,
) (*pb.AuthUserListResponse, error) {
	return &pb.AuthUserListResponse{Header: hdr, Users: names(st.auth.users)}, nil
}

func (st *state) userDeleteLocked(
	hdr *pb.ResponseHeader, req *pb.AuthUserDeleteRequest,
) (*pb.AuthUserDeleteResponse, error) {
	if _, err := st.auth.user(req.Name); err != nil {
		return nil, err
	}
	delete(st.auth.users, req.Name)
	st.auth.revision++
	return &pb.AuthUserDeleteResponse{Header: hdr}, nil
}

func (st *state) userPasswordLocked(
	hdr *pb.ResponseHeader, req *pb.AuthUserChangePasswordRequest,
) (*pb.AuthUserChangePasswordResponse, error) {
	u, err := st.auth.user(req.Name)
	if err != nil {
		return nil, err
	}
	u.password = req.Password
	st.auth.revision++
	return &pb.AuthUserChangePasswordResponse{Header: hdr}, nil
}

func (st *state) userGrantLocked(
	hdr *pb.ResponseHeader, req *pb.AuthUserGrantRoleRequest,
) (*pb.AuthUserGrantRoleResponse, error) {
	u, err := st.auth.user(req.User)
	if err != nil {
		return nil, err
	}
	if _, err := st.auth.role(req.Role); err != nil {
		return nil, err
	}
	if !slices.Contains(u.roles, req.Role) {
		u.roles = append(u.roles, req.Role)
	}
	st.auth.revision++
	return &pb.AuthUserGrantRoleResponse{Header: hdr}, nil
}

func (st *state) userRevokeLocked(
	hdr *pb.ResponseHeader, req *pb.AuthUserRevokeRoleRequest,
) (*pb.AuthUserRevokeRoleResponse, error) {
	u, err := st.auth.user(req.Name)
	if err != nil {
		return nil, err
	}
	i := slices.Index(u.roles, req.Role)
	if i < 0 {
		return nil, rpctypes.ErrGRPCRoleNotGranted
	}
	u.roles = slices.Delete(u.roles, i, i+1)
	st.auth.revision++
	return &pb.AuthUserRevokeRoleResponse{Header: hdr}, nil
}

func (st *state) roleAddLocked(
	hdr *pb.ResponseHeader, req *pb.AuthRoleAddRequest,
) (*pb.AuthRoleAddResponse, error) {
	switch {
	case req.Name == "":
		return nil, rpctypes.ErrGRPCRoleEmpty
	case st.auth.roles[req.Name] != nil:
		return nil, rpctypes.ErrGRPCRoleAlreadyExist
	}
	st.auth.roles[req.Name] = &authpb.Role{Name: []byte(req.Name)}
	st.auth.revision++
	return &pb.AuthRoleAddResponse{Header: hdr}, nil
}

func (st *state) roleGetLocked(
	hdr *pb.ResponseHeader, req *pb.AuthRoleGetRequest,
) (*pb.AuthRoleGetResponse, error) {
	r, err := st.auth.role(req.Role)
	if err != nil {
		return nil, err
	}
	return &pb.AuthRoleGetResponse{Header: hdr, Perm: slices.Clone(r.KeyPermission)}, nil
}

func (st *state) roleListLocked(
	hdr *pb.ResponseHeader, _ *pb.AuthRoleListRequest,
) (*pb.AuthRoleListResponse, error) {
	return &pb.AuthRoleListResponse{Header: hdr, Roles: names(st.auth.roles)}, nil
}

func (st *state) roleDeleteLocked(
	hdr *pb.ResponseHeader, req *pb.AuthRoleDeleteRequest,
) (*pb.AuthRoleDeleteResponse, error) {
	if _, err := st.auth.role(req.Role); err != nil {
		return nil, err
	}
	delete(st.auth.roles, req.Role)
	for _, u := range st.auth.users {
		u.roles = slices.DeleteFunc(u.roles, func(role string) bool { return role == req.Role })
	}
	st.auth.revision++
	return &pb.AuthRoleDeleteResponse{Header: hdr}, nil
}

func (st *state) roleGrantLocked(
	hdr *pb.ResponseHeader, req *pb.AuthRoleGrantPermissionRequest,
) (*pb.AuthRoleGrantPermissionResponse, error) {
	r, err := st.auth.role(req.Name)
	if err != nil {
		return nil, err
	}
	if req.Perm == nil {
		return nil, rpctypes.ErrGRPCPermissionNotGiven
	}
	r.KeyPermission = append(r.KeyPermission, req.Perm)
	st.auth.revision++
	return &pb.AuthRoleGrantPermissionResponse{Header: hdr}, nil
}

func (st *state) roleRevokeLocked(
	hdr *pb.ResponseHeader, req *pb.AuthRoleRevokePermissionRequest,
) (*pb.AuthRoleRevokePermissionResponse, error) {
	r, err := st.auth.role(req.Role)
	if err != nil {
		return nil, err
	}
	kept := slices.DeleteFunc(slices.Clone(r.KeyPermission), func(p *authpb.Permission) bool {
		return bytes.Equal(p.Key, req.Key) && bytes.Equal(p.RangeEnd, req.RangeEnd)
	})
	if len(kept) == len(r.KeyPermission) {
		return nil, rpctypes.ErrGRPCPermissionNotGranted
	}
	r.KeyPermission = kept
	st.auth.revision++
	return &pb.AuthRoleRevokePermissionResponse{Header: hdr}, nil
}
