package main

import (
	"fmt"
	"net"
	"strings"
)

func serveUnix(path string) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		panic(err)
	}
	fmt.Println(path)
	for {
		stream, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go echo(stream, 4096)
	}
}

func serveDatagrams(sockets int) {
	var ports []string
	for i := 0; i < sockets; i++ {
		socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			panic(err)
		}
		ports = append(ports, fmt.Sprint(socket.LocalAddr().(*net.UDPAddr).Port))
		go echoDatagrams(socket)
	}
	fmt.Println(strings.Join(ports, " "))
	select {}
}

func echoDatagrams(socket *net.UDPConn) {
	buffer := make([]byte, 4096)
	for {
		n, from, err := socket.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		if _, err := socket.WriteToUDPAddrPort(buffer[:n], from); err != nil {
			return
		}
	}
}
