package etcdfake

import (
	"bytes"
	"slices"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

func (st *state) userAddLocked(req *pb.AuthUserAddRequest) error {
	switch {
	case req.Name == "":
		return rpctypes.ErrGRPCUserEmpty
	case st.auth.users[req.Name] != nil:
		return rpctypes.ErrGRPCUserAlreadyExist
	}
	st.auth.users[req.Name] = &authUser{password: req.Password}
	return nil
}

func (st *state) userGetLocked(req *pb.AuthUserGetRequest) (*pb.AuthUserGetResponse, error) {
	u, err := st.auth.user(req.Name)
	if err != nil {
		return nil, err
	}
	return &pb.AuthUserGetResponse{Roles: slices.Clone(u.roles)}, nil
}

func (st *state) userListLocked(*pb.AuthUserListRequest) (*pb.AuthUserListResponse, error) {
	return &pb.AuthUserListResponse{Users: names(st.auth.users)}, nil
}

func (st *state) userDeleteLocked(req *pb.AuthUserDeleteRequest) error {
	_, err := st.auth.user(req.Name)
	delete(st.auth.users, req.Name)
	return err
}

func (st *state) userPasswordLocked(req *pb.AuthUserChangePasswordRequest) error {
	u, err := st.auth.user(req.Name)
	if err == nil {
		u.password = req.Password
	}
	return err
}

func (st *state) userGrantLocked(req *pb.AuthUserGrantRoleRequest) error {
	u, err := st.auth.user(req.User)
	if err != nil {
		return err
	}
	if _, err := st.auth.role(req.Role); err != nil {
		return err
	}
	if !slices.Contains(u.roles, req.Role) {
		u.roles = append(u.roles, req.Role)
	}
	return nil
}

func (st *state) userRevokeLocked(req *pb.AuthUserRevokeRoleRequest) error {
	u, err := st.auth.user(req.Name)
	if err != nil {
		return err
	}
	if !slices.Contains(u.roles, req.Role) {
		return rpctypes.ErrGRPCRoleNotGranted
	}
	u.roles = without(u.roles, req.Role)
	return nil
}

func (st *state) roleAddLocked(req *pb.AuthRoleAddRequest) error {
	switch {
	case req.Name == "":
		return rpctypes.ErrGRPCRoleEmpty
	case st.auth.roles[req.Name] != nil:
		return rpctypes.ErrGRPCRoleAlreadyExist
	}
	st.auth.roles[req.Name] = &authpb.Role{Name: []byte(req.Name)}
	return nil
}

func (st *state) roleGetLocked(req *pb.AuthRoleGetRequest) (*pb.AuthRoleGetResponse, error) {
	r, err := st.auth.role(req.Role)
	if err != nil {
		return nil, err
	}
	return &pb.AuthRoleGetResponse{Perm: slices.Clone(r.KeyPermission)}, nil
}

func (st *state) roleListLocked(*pb.AuthRoleListRequest) (*pb.AuthRoleListResponse, error) {
	return &pb.AuthRoleListResponse{Roles: names(st.auth.roles)}, nil
}

func (st *state) roleDeleteLocked(req *pb.AuthRoleDeleteRequest) error {
	_, err := st.auth.role(req.Role)
	delete(st.auth.roles, req.Role)
	for _, u := range st.auth.users {
		u.roles = without(u.roles, req.Role)
	}
	return err
}

func (st *state) roleGrantLocked(req *pb.AuthRoleGrantPermissionRequest) error {
	r, err := st.auth.role(req.Name)
	if err != nil {
		return err
	}
	if req.Perm == nil {
		return rpctypes.ErrGRPCPermissionNotGiven
	}
	r.KeyPermission = append(r.KeyPermission, req.Perm)
	return nil
}

func (st *state) roleRevokeLocked(req *pb.AuthRoleRevokePermissionRequest) error {
	r, err := st.auth.role(req.Role)
	if err != nil {
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(r.KeyPermission), func(p *authpb.Permission) bool {
		return bytes.Equal(p.Key, req.Key) && bytes.Equal(p.RangeEnd, req.RangeEnd)
	})
	if len(rest) == len(r.KeyPermission) {
		return rpctypes.ErrGRPCPermissionNotGranted
	}
	r.KeyPermission = rest
	return nil
}

func without(roles []string, role string) []string {
	return slices.DeleteFunc(roles, func(r string) bool { return r == role })
}
