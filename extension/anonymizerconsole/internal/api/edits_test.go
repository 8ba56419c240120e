// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
)

func (f *fake) edits() consoleapi.Edits {
	return consoleapi.Edits{ETag: `"1-ab"`, Frames: 10, Latest: "r1", Pending: true, Live: []int{1}, Unconfirmed: []int{},
		Uncover: true, Adjust: true, Limits: []string{}, Reasons: []string{"picture"},
		Operations: json.RawMessage(`[{"id":1,"type":"whole_frame","to":3,"by":"Ann","role":"edit",` +
			`"at":"2026-11-28T20:00:00Z"}]`)}
}

func (f *fake) Edits(context.Context, consoleapi.VideoID) (consoleapi.Edits, error) {
	return f.edits(), nil
}

func (f *fake) CheckEdits(_ context.Context, _ consoleapi.Actor, _ consoleapi.VideoID,
	operations json.RawMessage) (consoleapi.EditsCheck, error) {
	return consoleapi.EditsCheck{Errors: []string{string(operations)}, NeedsReason: true,
		NeedsPermission: consoleapi.PermissionApprove,
		Uncovered:       []consoleapi.UncoveredFrame{{Frame: 1, Pixels: 2, Box: [4]int{1, 2, 3, 4}}}}, nil
}

func (f *fake) AppendEdits(_ context.Context, actor consoleapi.Actor, _ consoleapi.VideoID, etag string,
	operations json.RawMessage) (consoleapi.Edits, error) {
	if etag != f.edits().ETag {
		return consoleapi.Edits{}, fmt.Errorf("%w: other edits", consoleapi.ErrPrecondition)
	}
	if strings.Contains(string(operations), "remove") {
		return consoleapi.Edits{}, fmt.Errorf("%w: not by %s", consoleapi.ErrForbidden, actor.Name)
	}
	_, err := f.act(actor)
	return f.edits(), err
}

func (f *fake) EditedFrames(ctx context.Context, id consoleapi.VideoID, from, to int) (consoleapi.Frames, error) {
	return f.Frames(ctx, consoleapi.RevisionID{Video: id, Revision: "r1"}, from, to)
}

func (f *fake) Renders(context.Context, consoleapi.VideoID) (consoleapi.Renders, error) {
	return consoleapi.Renders{Revisions: f.video().Revisions, Render: &consoleapi.RenderState{
		State: consoleapi.RenderRunning, By: "Ann", At: at, Operations: 1, Frames: 3, Total: 9}}, nil
}

func (f *fake) Render(ctx context.Context, actor consoleapi.Actor, id consoleapi.VideoID,
	etag string) (consoleapi.Renders, error) {
	if _, err := f.AppendEdits(ctx, actor, id, etag, nil); err != nil {
		return consoleapi.Renders{}, err
	}
	return f.Renders(ctx, id)
}

func (f *fake) CancelRender(ctx context.Context, actor consoleapi.Actor,
	id consoleapi.VideoID) (consoleapi.Renders, error) {
	if _, err := f.act(actor); err != nil {
		return consoleapi.Renders{}, err
	}
	return f.Renders(ctx, id)
}

func TestEdits(t *testing.T) {
	r := newRig(t)
	const etag = `"1-ab"`
	for name, test := range map[string]struct {
		role               consoleapi.Role
		method, path, body string
		ifMatch            string
		status             int
		want               string
	}{
		"get": {consoleapi.RoleView, http.MethodGet, "/edits", "", "", 200, `"etag":"\"1-ab\""`},
		"append": {consoleapi.RoleEdit, http.MethodPost, "/edits", `{"operations":[{"type":"whole_frame","to":3}]}`, etag,
			200, `"live":[1]`},
		"append by a viewer": {consoleapi.RoleView, http.MethodPost, "/edits", `{"operations":[]}`, etag, 403,
			"permission edit"},
		"append what uncovers": {consoleapi.RoleEdit, http.MethodPost, "/edits", `{"operations":[{"type":"remove"}]}`, etag,
			403, "not by test edit"},
		"append to other edits": {consoleapi.RoleEdit, http.MethodPost, "/edits", `{"operations":[]}`, `"0-cd"`, 412,
			"other edits"},
		"append without If-Match": {consoleapi.RoleEdit, http.MethodPost, "/edits", `{"operations":[]}`, "", 400, "If-Match"},
		"append something else":   {consoleapi.RoleEdit, http.MethodPost, "/edits", `{"operation":1}`, etag, 400, "body"},
		"check": {consoleapi.RoleEdit, http.MethodPost, "/edits/check", `{"operations":[{"type":"add"}]}`, "", 200,
			`"needs_permission":"approve"`},
		"frames":             {consoleapi.RoleView, http.MethodGet, "/edits/frames?from=2&to=5", "", "", 200, `"from":2`},
		"too many frames":    {consoleapi.RoleView, http.MethodGet, "/edits/frames?from=0&to=5000", "", "", 400, "to:"},
		"renders":            {consoleapi.RoleView, http.MethodGet, "/renders", "", "", 200, `"state":"running"`},
		"render":             {consoleapi.RoleEdit, http.MethodPost, "/renders", "", etag, 202, `"frames_total":9`},
		"render other edits": {consoleapi.RoleEdit, http.MethodPost, "/renders", "", `"0-cd"`, 412, "other edits"},
		"render by a viewer": {consoleapi.RoleView, http.MethodPost, "/renders", "", etag, 403, "permission edit"},
		"cancel":             {consoleapi.RoleReview, http.MethodDelete, "/renders", "", "", 200, `"by":"Ann"`},
	} {
		t.Run(name, func(t *testing.T) {
			headers := []string{}
			if test.ifMatch != "" {
				headers = append(headers, "If-Match", test.ifMatch)
			}
			status, text := r.do(test.role, test.method, video+test.path, test.body, headers...)
			assert.Equal(t, test.status, status)
			assert.Contains(t, text, test.want)
		})
	}
}
