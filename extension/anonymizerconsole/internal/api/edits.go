// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
)

// maxOperations is the maximum size in bytes of a body with operations: a thousand keyframes take 90 KB.
const maxOperations = 4 << 20

// operationsInput is the body of a request with operations.
type operationsInput struct {
	Operations json.RawMessage `json:"operations"`
}

func (a *API) edits(c *call) error {
	return a.on(c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.VideoID) error {
		e, err := w.Edits(ctx, id)
		return c.edited(e, err)
	})
}

// edited responds with edits and their ETag.
func (c *call) edited(e consoleapi.Edits, err error) error {
	if err != nil {
		return err
	}
	c.Header().Set("ETag", e.ETag)
	return c.json(e)
}

func (a *API) appendEdits(c *call) error {
	var input operationsInput
	if err := readLimitedJSON(c.ResponseWriter, c.Request, maxOperations, &input); err != nil {
		return err
	}
	etag, err := c.ifMatch()
	if err != nil {
		return err
	}
	return a.on(c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.VideoID) error {
		e, err := w.AppendEdits(ctx, c.who.Actor(), id, etag, input.Operations)
		return c.edited(e, err)
	})
}

// ifMatch returns the ETag in the request's If-Match header.
func (c *call) ifMatch() (string, error) {
	etag := c.Request.Header.Get("If-Match")
	if etag == "" {
		return "", fail(errRequest, "the header If-Match is required: send the ETag of the edits that you have")
	}
	return etag, nil
}

func (a *API) checkEdits(c *call) error {
	var input operationsInput
	if err := readLimitedJSON(c.ResponseWriter, c.Request, maxOperations, &input); err != nil {
		return err
	}
	return a.on(c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.VideoID) error {
		check, err := w.CheckEdits(ctx, c.who.Actor(), id, input.Operations)
		if err != nil {
			return err
		}
		return c.json(check)
	})
}

func (a *API) editedFrames(c *call) error {
	from, err := number(c.URL.Query().Get("from"), "from", 0, 0, lastFrame)
	if err != nil {
		return err
	}
	to, err := number(c.URL.Query().Get("to"), "to", from+usualFrames, from, from+maxFrames)
	if err != nil {
		return err
	}
	return a.on(c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.VideoID) error {
		frames, err := w.EditedFrames(ctx, id, from, to)
		if err != nil {
			return err
		}
		return c.json(frames)
	})
}

func (a *API) renders(c *call) error {
	return a.on(c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.VideoID) error {
		renders, err := w.Renders(ctx, id)
		if err != nil {
			return err
		}
		return c.json(renders)
	})
}

func (a *API) render(c *call) error {
	etag, err := c.ifMatch()
	if err != nil {
		return err
	}
	return a.on(c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.VideoID) error {
		renders, err := w.Render(ctx, c.who.Actor(), id, etag)
		if err != nil {
			return err
		}
		return c.accepted(renders)
	})
}

func (a *API) cancelRender(c *call) error {
	return a.on(c, func(ctx context.Context, w consoleapi.Workspace, id consoleapi.VideoID) error {
		renders, err := w.CancelRender(ctx, c.who.Actor(), id)
		if err != nil {
			return err
		}
		return c.json(renders)
	})
}
