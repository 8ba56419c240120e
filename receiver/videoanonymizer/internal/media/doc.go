// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package media decodes and encodes video: frames as YUV planes with their presentation times. It is the only package
// that knows ffmpeg and ffprobe, which it runs as child processes: a decoder that writes raw frames to a pipe and their
// times to its stderr (filter showinfo), and an encoder that reads raw frames in an IVF wrapper, which carries a 64-bit
// time with each.
//
//	tools, err := media.FindTools("", "")
//	info, err := tools.Probe(ctx, path, media.Limits{})
//	plan, err := media.NewPlan(info, media.WriteOptions{})
//	reader, err := tools.Open(ctx, plan.Info(), media.ReadOptions{})
//	writer, err := tools.Create(ctx, temp, plan, nil)
//	for {
//		frame, err := reader.Next() // io.EOF only after a complete and undamaged video
//		err = writer.Write(frame)
//		frame.Release()
//	}
//	err = writer.Finish(ctx) // verified: temp can be renamed to its final name
//
// The encoder writes segments. Finish has a second process join them, with what is kept of the source. After
// Writer.Seal another writer and reader can resume from there, even in another process: Tools.Create with the Progress
// that Seal returned, and Tools.Resume.
//
// Each child gets the source as an open file descriptor. The source is opened without following a symbolic link, and
// only if it is a regular file (Linux only: by /proc/self/fd). ffmpeg sees neither its name nor any other file, no
// network, and no demuxer that could open another file.
package media
