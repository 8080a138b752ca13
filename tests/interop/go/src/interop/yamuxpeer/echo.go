package main

import (
	"fmt"
	"io"

	"github.com/hashicorp/yamux"

	"interop/peer"
)

// answerEchoes echoes the data of every stream until the connection is closed
// gracefully.
func answerEchoes(session *link) error {
	for {
		stream, err := session.AcceptStream()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the connection did not end gracefully: %v", err)
		}
		go sendBack(stream)
	}
}

func sendBack(stream *yamux.Stream) {
	_, err := io.Copy(stream, stream)
	if err := peer.IgnoreShutdown(err); err != nil {
		peer.Report("violation", "echo of stream %d: %v", stream.StreamID(), err)
	}
	_ = stream.Close()
}

func openEchoes(session *link) error {
	for _, size := range []int{0, 1, 262_144, 8 << 20} {
		if err := echoOnce(session, uint64(size), size); err != nil {
			return fmt.Errorf("echo of %d bytes: %v", size, err)
		}
	}
	return nil
}

func openMany(session *link) error {
	return peer.All(64, func(i int) error {
		return echoOnce(session, uint64(i), 5_000*i+1)
	})
}

func openSerial(session *link) error {
	for i := 0; i < 300; i++ {
		if err := echoOnce(session, uint64(i), 64); err != nil {
			return fmt.Errorf("open %d of 300: %v", i+1, err)
		}
	}
	return nil
}

// openBurst opens 300 streams before it writes on any of them. When 256 of them
// are unacknowledged, yamux itself waits.
func openBurst(session *link) error {
	streams := make([]*yamux.Stream, 300)
	for i := range streams {
		stream, err := session.OpenStream()
		if err != nil {
			return fmt.Errorf("open %d of 300: %v", i+1, err)
		}
		streams[i] = stream
	}
	for i, stream := range streams {
		if err := echo(session, stream, uint64(i), 10); err != nil {
			return fmt.Errorf("stream %d of 300: %v", i+1, err)
		}
	}
	return nil
}

func echoOnce(session *link, seed uint64, size int) error {
	stream, err := session.OpenStream()
	if err != nil {
		return err
	}
	return echo(session, stream, seed, size)
}

// echo writes data, reads the same amount, and only then closes the stream: once a
// yamux.Stream is closed for writing, its reader gets EOF too. It returns when the
// peer has closed the stream as well.
func echo(session *link, stream *yamux.Stream, seed uint64, size int) error {
	data := peer.Pattern(seed, size)
	written := make(chan error, 1)
	go func() {
		_, err := stream.Write(data)
		written <- err
	}()
	got := make([]byte, size)
	if _, err := io.ReadFull(stream, got); err != nil {
		return err
	}
	if err := <-written; err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	if err := session.audit.AwaitEnd(session.Session, stream.StreamID()); err != nil {
		return err
	}
	return peer.Same(got, data)
}
